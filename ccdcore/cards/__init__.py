"""What cards of headers say: values, times, sections, in the dialects of many cameras."""
