"""Rows of the warehouse turned into what the pages draw. Pure: no Streamlit, no I/O, no clock."""
