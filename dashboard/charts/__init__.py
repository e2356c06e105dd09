"""Charts: view models in, Plotly figures out. Pure: no Streamlit, no I/O, no clock.

Habits all charts share (`frame.py`): the x axis is the window that was asked for, never the data that
came; steps without data are shaded and called "no data"; a constant `uirevision` keeps a zoom through a
refresh; every chart comes with a caption that says what it shows, a text alternative and its table.
"""
