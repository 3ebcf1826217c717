"""What an evaluation found, for people: tables, a page, a comparison of two runs.

`report` is the door; `html` the page with its `charts`, `confusion_table` and `pictures`; `compare`
sets two runs side by side where they are `comparable`; `views` and `wording` are what all of them
say; `published` are other people's numbers.
"""
