"""What the dashboard's process does beside its pages: hand them out early, warm them up, stream runs to them."""
