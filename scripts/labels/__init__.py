"""The list of phrases for photographs, and the lists by hand that it is made of."""
