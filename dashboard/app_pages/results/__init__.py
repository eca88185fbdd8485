"""Results: verdict, candidates, rows."""
