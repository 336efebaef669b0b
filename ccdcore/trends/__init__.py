"""Control charts of what was measured, and series thinned for drawing."""
