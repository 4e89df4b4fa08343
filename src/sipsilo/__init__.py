"""sipsilo: a SIP MESSAGE for a user who is not there is kept safely, and reaches them when they register."""

__version__ = "0.1.0.dev0"
