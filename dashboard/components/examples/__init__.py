"""The examples page: rows read, mapped, edited, checked, split."""
