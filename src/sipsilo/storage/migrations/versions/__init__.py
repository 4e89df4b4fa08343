"""One file a revision; `storage.schema.HEAD` names the last one."""
