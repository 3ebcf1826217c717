"""From an embedding to a label: decoders, the lists they choose from, and the merging of segments.

`decoders` makes the one a recipe names: `phrases/`, `vocabulary`, `beam`, `zerocap/`,
`text_memory`, `vlm`. `hypernyms` and `noun_forms` know words; `phrase_files` reads lists; `merging`
is the graph that joins segments whose embeddings and labels agree.
"""
