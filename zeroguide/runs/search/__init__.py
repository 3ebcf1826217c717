"""Search in a run's segments by text, with the embeddings that labelling has left on disk."""

from zeroguide.runs.search.searcher import Hit, Searcher, query_text, search

__all__ = ["Hit", "Searcher", "query_text", "search"]
