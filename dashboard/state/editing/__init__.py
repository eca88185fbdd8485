"""Changes to a project and its draft. No widgets."""
