"""The command `sipsilo`: one file a subcommand."""
