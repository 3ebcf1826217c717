"""The photo model, step by step: features, teacher, head, blocks, text; then lm and export."""
