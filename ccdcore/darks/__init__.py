"""The dark signal: its rate by darks of several exposures, whether it scales, and what is measured of it."""
