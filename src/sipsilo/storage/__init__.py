"""The database: one file per topic, all their work committed in groups."""
