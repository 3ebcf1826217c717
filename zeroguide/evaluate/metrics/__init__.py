"""Scores of segments and their names against ground truth: pure functions on numpy arrays.

Nearly all start from `overlap.intersections`, a table of pixels counted once per image; more
examples are in docs/evaluation.md:

    overlap = intersections(segments, truth, n_segments, n_classes)
    classes = assign(cosine(label_embeddings, class_embeddings), threshold=TT_THRESHOLD)
    image_iou(class_ious(overlap, classes))

| module | what it scores |
|---|---|
| `overlap` | nothing: the table of segments x classes, void apart |
| `assignment` | nothing: which class a segment is taken for, TT and ST |
| `open_vocabulary` | IoU_TT, IoU_ST, soft IoU, S-IoU, MCMR |
| `recall` | segment recall, AR, best overlap |
| `naming` | names of true masks: similarity, top-1, CLIPScore, RefCLIPScore |
| `lac`, `wordnet` | names by lexical relations |
| `semantic` | dataset mIoU and accuracy |
| `unsupervised` | nothing: clusters matched to classes, then `semantic`; the linear probe |
| `panoptic`, `class_agnostic` | PQ; COCO's AP and AR |
| `boundary` | boundary F, Boundary IoU |
| `saliency` | foreground IoU, maxF, CorLoc |
| `bootstrap` | intervals of all of them, and of differences |

Truth is an (H, W) map of signed ints, classes or regions 0..C-1, VOID = -1 where nothing counts.
Predictions are a map 0..m-1, -1 where there is none. Counts of images add up with `+`. Shares are
in [0, 1]; what has no value is NaN.
"""
