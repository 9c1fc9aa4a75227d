"""CGI programs (RFC 3875): a process for each request, and a warden that ends them if their worker dies."""
