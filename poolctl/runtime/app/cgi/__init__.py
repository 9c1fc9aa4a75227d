"""CGI programs (RFC 3875): a process for each request, below a warden that outlives none of them."""
