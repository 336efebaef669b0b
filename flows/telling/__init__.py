"""Telling people, through Apprise: of trends, of what needs attention, and of each night."""
