"""The page of `zeroguide web`: a labeler in the browser, and the segments to work on.

naming.py     the networks: picture -> `zeroguide.web.editing.Editor`
sessions.py   who works on what; forgotten when they leave
view.py       Editor -> what the page draws: outlines, colours, places for names
downloads.py  Editor -> files
page.py       the Gradio page; viewer/ is what runs in the browser
api.py        the same work for programs
components.py what both share of Gradio
guard.py      what requests may ask for
server.py     all of it behind an address
"""
