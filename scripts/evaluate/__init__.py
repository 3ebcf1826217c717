"""How good results are: tables of docs/results.md."""
