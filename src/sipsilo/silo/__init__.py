"""The product: messages kept for those who are away, and their delivery."""
