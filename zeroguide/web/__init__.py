"""The page of `zeroguide web`: a labeler in the browser, and the segments to work on.

naming.py      the networks: picture -> `zeroguide.web.editing.Editor`; loading.py: while it's there
masking.py     what CLIP saw of a segment, before and after the mask
mask_files.py  masks of other tools, and their names
sessions.py    who works on what; forgotten when they leave
view.py        Editor -> what the page draws: outlines, colours, places for names
downloads.py   Editor -> files
taxonomy.py    the labels of a run: listed, renamed, joined
page.py        the Gradio page; taxonomy_page.py: its tab of labels; viewer/ runs in the browser
api.py         the same work for programs
components.py  what all of these share of Gradio
guard.py       what requests may ask for
server.py      all of it behind an address
"""
