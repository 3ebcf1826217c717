"""ZeroCap: a language model whose memory of the prompt is moved, by gradients, towards a segment.

Tewel et al., "ZeroCap: zero-shot image-to-text generation for visual-semantic arithmetic", CVPR
2022, as "Zero-guidance segmentation using zero segment labels" (ICCV 2023) uses it. `decoder` is
the beam search, `shift` what happens to the language model at one token, `candidates` the texts
that CLIP judges, `tokens` what the tokenizer says about a language model's vocabulary.
"""

from zeroguide.name.zerocap.decoder import ZeroCapDecoder

__all__ = ["ZeroCapDecoder"]
