"""Pieces of pages that draw with Streamlit; what they decide lives in the pure modules beside."""
