"""Model updates that the cloud asks for: fetched, tried, put live when nobody shops, proved or taken back."""
