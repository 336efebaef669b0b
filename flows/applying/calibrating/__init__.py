"""Frames calibrated with the masters that suit them: asked for by people, or by the service as they land."""
