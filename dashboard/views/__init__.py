"""Records turned into small named tuples, then into figures or tables. No Streamlit."""
