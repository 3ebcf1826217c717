"""Train a text memory for a CLIP: a language model that writes what a CLIP embedding says.

    python -m scripts.train.text_memory --clip shipped:tiny/clip --language-model shipped:tiny/lm \\
        --texts playroom --output zeroguide/models/weights/tiny/text_memory

Text only, as in DeCap (Li et al., ICLR 2023): CLIP reads a phrase in the wording of a template, and
the language model learns to write the phrase from that embedding, through one projected vector in
front of the text. A little noise on the embedding stands for what lies between texts (Nukrai et
al., "Text-only training for image captioning using noise-injected CLIP", 2022). Any CLIP and any
GPT-2 will do; the folder fits that CLIP only.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from scripts.train.loop import attention_kernel, parameter_groups, schedule
from zeroguide.clip import TextEncoder
from zeroguide.models import (
    LanguageModel,
    TextMemory,
    choose_device,
    load_clip,
    load_language_model,
)
from zeroguide.models.hub import TEXT_MEMORY
from zeroguide.name.noun_phrases import clean_phrase
from zeroguide.name.phrase_files import read_prompts
from zeroguide.name.text_memory import TextMemoryDecoder
from zeroguide.playroom import NAMES, phrase

NOISE = 1.0
"""Length of the noise beside unit embeddings. With less, alternatives to the best text are odd."""


def read_texts(name: str, templates: str | None) -> tuple[list[str], list[str]]:
    """The phrases to learn and the templates they are worded in."""
    if name == "playroom":  # with their articles, which a plain list doesn't have
        return [phrase(n) for n in NAMES], read_prompts(templates or "templates_playroom")
    return read_prompts(name), read_prompts(templates or "templates_photo")


def build_memory(
    texts: TextEncoder, phrases: list[str], templates: list[str], size: int
) -> tuple[torch.Tensor, str]:
    """Unit embeddings (m, e) of at most `size` worded phrases, and the first one's text."""
    worded = [template.replace("{}", text) for template in templates for text in phrases]
    kept = np.random.default_rng(0).permutation(len(worded))[:size]
    chosen = [worded[i] for i in kept]
    return texts.embed(chosen).clone().half().float(), chosen[0]  # as the file will hold it


def tokenize(lm: LanguageModel, phrases: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (n, T), each row ended and padded with the end token, and where they count (n, T)."""
    end = lm.tokenizer.eos_token_id
    # A space in front: the words are tokenized as they are inside of sentences.
    rows = [[*lm.tokenizer(f" {text}")["input_ids"], end] for text in phrases]
    length = max(map(len, rows))
    tokens = torch.tensor([row + [end] * (length - len(row)) for row in rows])
    counts = torch.arange(length) < torch.tensor([len(row) for row in rows])[:, None]
    return tokens, counts


def loss_of(
    model: TextMemory, embeddings: torch.Tensor, tokens: torch.Tensor, counts: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy per token, in nats, of texts after their embeddings (n, e)."""
    words = model.network.get_input_embeddings()(tokens[:, :-1])  # (n, T - 1, d)
    inputs = torch.cat([model.prefix(embeddings), words], dim=1)  # (n, T, d)
    logits = model.network(inputs_embeds=inputs).logits.float()
    losses = F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")
    return (losses * counts).sum() / counts.sum()


def train(
    model: TextMemory,
    texts: TextEncoder,
    phrases: list[str],
    templates: list[str],
    args: argparse.Namespace,
) -> None:
    """Teach language model and projection, in place; prints the loss now and then."""
    rng = np.random.default_rng(0)
    device = model.memory.device
    tokens, counts = tokenize(LanguageModel(model.network, model.tokenizer), phrases)
    tokens, counts = tokens.to(device), counts.to(device)
    for module in (model.network, model.projection):
        module.requires_grad_(True).train()
    groups = parameter_groups(model.network, 0.01) + parameter_groups(model.projection, 0.01)
    optimizer = torch.optim.AdamW(groups, lr=args.peak_lr, betas=(0.9, 0.98))
    started = time.monotonic()
    for step in range(args.steps):
        schedule(optimizer, step, peak=args.peak_lr, warmup=args.steps // 20, total=args.steps)
        picked = rng.integers(len(phrases), size=args.batch_size)
        worded = rng.integers(len(templates), size=args.batch_size)
        z = texts.embed(
            [templates[t].replace("{}", phrases[p]) for t, p in zip(worded, picked, strict=True)]
        )  # (batch, e)
        noise = torch.randn(z.shape, device=z.device) * NOISE / z.shape[1] ** 0.5
        with attention_kernel(device):
            loss = loss_of(model, F.normalize(z + noise, dim=-1), tokens[picked], counts[picked])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if (step + 1) % 100 == 0 or step == 0:
            seconds = time.monotonic() - started
            print(f"step {step + 1}  seconds {seconds:.0f}  loss {loss.item():.4f}", flush=True)
    for module in (model.network, model.projection):
        module.requires_grad_(False).eval()


def written_back(model: TextMemory, texts: TextEncoder, phrases: list[str]) -> float:
    """Share of up to 500 phrases that the decoder writes from their own text embeddings."""
    _, counts = tokenize(LanguageModel(model.network, model.tokenizer), phrases)
    decoder = TextMemoryDecoder(
        texts, model, beam_size=4, max_tokens=int(counts.sum(1).max()), n_alternatives=0
    )
    asked = list(np.random.default_rng(0).permutation(phrases)[:500])
    labels = decoder(texts.embed([model.template.replace("{}", text) for text in asked]))
    right = [a[0][0] == clean_phrase(text) for a, text in zip(labels, asked, strict=True)]
    return sum(right) / len(right)


def save(model: TextMemory, folder: Path) -> None:
    """Write the folder, float16."""
    folder.mkdir(parents=True, exist_ok=True)
    model.tokenizer.save_pretrained(folder)
    tensors = {"memory": model.memory}
    tensors |= {f"projection.{k}": v for k, v in model.projection.state_dict().items()}
    save_file(
        {name: tensor.cpu().half().contiguous() for name, tensor in tensors.items()},
        folder / TEXT_MEMORY,
        {"template": model.template, "first": model.first},
    )
    model.network.cpu().half().save_pretrained(folder)


def main() -> None:
    """Train, say how many phrases come back, and write the folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clip", required=True, help="checkpoint: shipped:..., folder or hub id")
    parser.add_argument("--language-model", required=True, help="checkpoint of a GPT-2 to start at")
    parser.add_argument(
        "--texts", required=True, help="phrases: playroom, a list in prompts/, file"
    )
    parser.add_argument("--templates", help="how CLIP reads them: a list in prompts/, or a file")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--memory", type=int, default=5000, help="most texts kept to compare with")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=64, help="texts per step")
    parser.add_argument("--peak-lr", type=float, default=1e-3)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()

    torch.manual_seed(0)
    device = choose_device(args.device)
    texts = TextEncoder(load_clip(args.clip, device=device))
    lm = load_language_model(args.language_model, device=device)
    phrases, templates = read_texts(args.texts, args.templates)
    memory, first = build_memory(texts, phrases, templates, args.memory)
    projection = torch.nn.Linear(memory.shape[1], lm.network.config.n_embd).to(device)
    model = TextMemory(lm.network, lm.tokenizer, projection, memory, templates[0], first)
    train(model, texts, phrases, templates, args)
    print(f"{written_back(model, texts, phrases):.1%} of the phrases are written back")
    save(model, args.output)


if __name__ == "__main__":
    main()
