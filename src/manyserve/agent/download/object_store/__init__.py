"""Downloads from object stores."""
