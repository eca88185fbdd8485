"""The short-lived process that works for a page, and the tasks that it carries out."""
