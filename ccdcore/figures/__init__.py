"""Pictures of frames, measurements and trends; a report as one page."""
