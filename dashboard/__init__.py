"""The Streamlit app: fleet, store, latency and drift pages over the warehouse's queries."""
