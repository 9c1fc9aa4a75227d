"""Runs the user's code in a child process that was forked for it, which reports a result and is killed if it hangs."""
