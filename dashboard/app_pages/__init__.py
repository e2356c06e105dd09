"""The pages: each names its panels and how they are drawn; app.py frames them.

Not called `pages`: Streamlit would serve files of a folder of that name by itself, without the frame,
to whoever comes before the first visitor has been through `st.navigation`.
"""
