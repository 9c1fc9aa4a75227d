"""The user's code apart: imported in a process that was forked for it, which is ended when it hangs, and reports."""
