"""Reports, exports, later scores and archives of runs that have ended."""
