"""Migrations (alembic), run by `storage.administration` on a connection of its own.

A migration looks before it acts, so that it can be run again on tables that have what it makes: another program may
have made the silo, and an operator may choose another silo for a database that has the rest already.
"""
