"""What BCC's users get; but for this, all of it needs BCC."""

TRACEBACK = "BCCTOOL_TRACEBACK"  # in the environment of a tool that `bcc run` starts: show where it failed
