"""Reference losses and gradients of policy learning by TRL, of distillation and of AdamW by PyTorch, on small random tensors.

TRL's own functions compute: `GRPOTrainer._generate_and_score_completions` (advantages, masks, importance weights) and
`GRPOTrainer._compute_loss`, called on an object that has nothing but what they read; `RLOOTrainer` gives its advantages in the same way. The
model is a table of logits that autograd differentiates. Run from the repository's root: python tests/golden/make-trl-fixtures.py
Writes tests/golden/fixtures/trl.json. Needs torch and trl (made with trl 1.16.0, torch 2.13).
"""

import json
import pathlib
from collections import defaultdict
from types import SimpleNamespace

import torch
import trl
from trl import GRPOTrainer, RLOOTrainer
from trl.trainer.utils import entropy_from_logits, selective_log_softmax

FIXTURES = pathlib.Path("tests/golden/fixtures")
PAD, EOS, VOCAB, PROMPT, LIMIT, GROUP = 0, 1, 5, 3, 6, 4
TEMPERATURE = 0.8
torch.manual_seed(7)

# Two groups of four, the shorter completions first; those without an end token were cut at the limit.
COMPLETIONS = [[1], [2, 1], [3, 1], [4, 2, 1], [2, 3, 4, 1], [3, 3, 2, 2, 1], [2, 4, 3, 2, 4, 3], [4, 4, 4, 2, 3, 2]]
REWARDS = [1.1, 0.1, 0.0, 0.1, 0.0, 1.1, 0.0, 0.1]
LOGITS = torch.randn(len(COMPLETIONS), LIMIT, VOCAB)


def logps_of(logits):
    ids = torch.tensor([c + [PAD] * (LIMIT - len(c)) for c in COMPLETIONS])
    return selective_log_softmax(logits, ids, TEMPERATURE)


PRESENT = logps_of(LOGITS)
OLD = PRESENT + 0.6 * torch.randn(PRESENT.shape)
REFERENCE = PRESENT + 0.4 * torch.randn(PRESENT.shape)
SAMPLED = PRESENT + 0.5 * torch.randn(PRESENT.shape)


class OneProcess(SimpleNamespace):
    """What the trainers ask of accelerate, on one process."""

    num_processes, process_index, device, sync_gradients = 1, 0, torch.device("cpu"), True

    def gather(self, x):
        return x

    gather_for_metrics = gather

    def reduce(self, x, reduction="sum"):
        return x


def stub(case):
    """An object with the attributes the two functions read. `models` are names; the log-probabilities of each are tables."""
    importance = case["importance"]
    trainer = SimpleNamespace(
        accelerator=OneProcess(),
        model=SimpleNamespace(training=True, is_gradient_checkpointing=False),
        ref_model="reference",
        args=SimpleNamespace(
            # One generation per step, unless the old policy shall differ.
            steps_per_generation=2 if case["old"] else case["accumulation"],
            gradient_accumulation_steps=1 if case["old"] else case["accumulation"],
            per_device_train_batch_size=len(COMPLETIONS),
            gradient_checkpointing_kwargs=None,
            use_bias_correction_kl=False,
            delta=None,
        ),
        num_iterations=1,
        num_generations=GROUP,
        environment_factories=None,
        environments=None,
        tools=None,
        pad_to_multiple_of=None,
        _tokenizer=SimpleNamespace(pad_token_id=PAD),
        processing_class=SimpleNamespace(batch_decode=lambda ids, **_: [""] * len(ids)),
        eos_token_ids=[EOS],
        mask_truncated_completions=case["maskTruncated"],
        use_vllm=importance is not None,
        vllm_importance_sampling_correction=importance is not None,
        vllm_importance_sampling_mode=importance and importance["kind"].replace("-", "_"),
        vllm_importance_sampling_clip_min=None,
        vllm_importance_sampling_clip_max=importance and importance["cap"],
        beta=case["beta"],
        scale_rewards=case["scaleRewards"],
        multi_objective_aggregation="sum_then_normalize",
        reward_weights=torch.ones(1),
        reward_func_names=["reward"],
        reward_funcs=[None],
        loss_type=case["lossType"].replace("-", "_"),
        importance_sampling_level="token",
        epsilon_low=case["clipLow"],
        epsilon_high=case["clipHigh"],
        max_completion_length=LIMIT,
        current_gradient_accumulation_steps=case["accumulation"],
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        aux_loss_enabled=False,
        _entropy_bonus_enabled=False,
        _metrics={"train": defaultdict(list)},
        _logs=defaultdict(list) | {"rewards": defaultdict(list), "extra": defaultdict(list)},
        _pending_extra_logs={},
        _pending_metrics={},
        log_multimodal=False,
        chat_template_kwargs={},
    )
    for name in ("prompt", "completion", "advantages"):
        trainer._logs[name] = []
    trainer._generate = lambda prompts: (
        [[2, 3, 4]] * len(COMPLETIONS),
        COMPLETIONS,
        None,
        [""] * len(COMPLETIONS),
        [row[: len(c)].tolist() for row, c in zip(SAMPLED, COMPLETIONS)] if importance else None,
        {},
        None,
        None,
    )
    trainer._calculate_rewards = lambda *_: torch.tensor(REWARDS)[:, None]

    def per_token(model, input_ids, attention_mask, logits_to_keep, *_, compute_entropy=False, **__):
        if model is trainer.model:
            return OLD, None, None
        if model == "reference":
            return REFERENCE, None, None
        logits, rows = model
        ids = input_ids[:, -logits_to_keep:]
        return selective_log_softmax(logits[rows], ids, TEMPERATURE), entropy_from_logits(logits[rows] / TEMPERATURE), None

    trainer._get_per_token_logps_and_entropies = per_token
    return trainer


def rows_of(batch, rows):
    return {key: value[rows] if value.dim() > 0 else value for key, value in batch.items()}


def grpo(case):
    """Loss, gradient in the logits and metrics of a rollout, in `accumulation` micro-batches."""
    trainer = stub(case)
    inputs = [{"prompt": ""} for _ in COMPLETIONS]
    batch = GRPOTrainer._generate_and_score_completions(trainer, inputs)
    # With the old policy the two micro-batches of `steps_per_generation` were for getting it recorded only.
    trainer.args.steps_per_generation = case["accumulation"]
    logits = LOGITS.clone().requires_grad_()
    size = len(COMPLETIONS) // case["accumulation"]
    total = 0
    for start in range(0, len(COMPLETIONS), size):
        rows = slice(start, start + size)
        loss = GRPOTrainer._compute_loss(trainer, (logits, rows), rows_of(batch, rows))
        loss.backward()
        total += loss.item()
    metrics = {key: sum(values) / len(values) for key, values in trainer._metrics["train"].items()}
    return dict(
        case,
        loss=total,
        advantages=batch["advantages"].tolist(),
        gradient=[float(f"{value:.6g}") for value in logits.grad.flatten().tolist()],
        metrics={
            key: metrics[key]
            for key in ("entropy", "kl", "clip_ratio/low_mean", "clip_ratio/high_mean", "reward", "reward_std", "frac_reward_zero_std")
            if key in metrics
        },
    )


def cases():
    plain = dict(
        beta=0.0, clipLow=0.2, clipHigh=0.2, old=False, maskTruncated=False, importance=None, accumulation=1, scaleRewards="group"
    )
    for loss_type in ("grpo", "bnpo", "dapo", "dr-grpo"):
        for scale in ("group", "batch", "none"):
            yield dict(plain, lossType=loss_type, scaleRewards=scale)
        moved = dict(plain, lossType=loss_type, old=True, beta=0.04, clipHigh=0.28)
        yield moved
        yield dict(moved, maskTruncated=True, accumulation=2, scaleRewards="none")
        yield dict(moved, importance=dict(kind="token-truncate", cap=1.2), accumulation=2)
        yield dict(moved, importance=dict(kind="sequence-mask", cap=1.2), maskTruncated=True)


def group_advantages():
    """The worked example and a random one, by TRL's own code."""
    global REWARDS, GROUP
    kept = (REWARDS, GROUP)
    result = []
    for rewards, group in (([1.1, 0.1, 0.1, 0, 0, 0, 0, 0], 8), (torch.rand(8).tolist(), 4), ([0.1] * 4 + [1.1, 0, 0, 0], 4)):
        REWARDS, GROUP = rewards, group
        entry = dict(rewards=rewards, groupSize=group)
        for scale in ("group", "batch", "none"):
            case = dict(
                beta=0.0, clipLow=0.2, clipHigh=0.2, old=False, maskTruncated=False, importance=None, accumulation=1, scaleRewards=scale
            )
            entry[scale] = grpo(dict(case, lossType="grpo"))["advantages"]
        trainer = stub(dict(case, lossType="grpo"))
        trainer.normalize_advantages = False
        trainer.reward_clip_range = None
        trainer._generate = lambda prompts: ([[2, 3, 4]] * len(COMPLETIONS), COMPLETIONS, [""] * len(COMPLETIONS))
        entry["rloo"] = RLOOTrainer._generate_and_score_completions(trainer, [{"prompt": ""}] * len(COMPLETIONS))["advantages"].tolist()
        result.append(entry)
    REWARDS, GROUP = kept
    return result


def distillation():
    rows, size, teacher_size, vocab = 6, 4, 5, 7
    hidden, head = torch.randn(rows, size), torch.randn(vocab, size)
    said, words = torch.randn(rows, teacher_size), torch.randn(vocab, teacher_size)
    mask = torch.tensor([1.0, 1, 0, 1, 1, 0])
    entries = []
    for temperature in (1.0, 2.0):
        for mix in (0.0, 1.0, 0.3):
            x, w = hidden.clone().requires_grad_(), head.clone().requires_grad_()
            student = torch.log_softmax(x @ w.T / temperature, -1)
            teacher = torch.log_softmax(said @ words.T / temperature, -1)
            kl = torch.nn.functional.kl_div
            forward = kl(student, teacher, reduction="none", log_target=True).sum(-1)
            reverse = kl(teacher, student, reduction="none", log_target=True).sum(-1)
            loss = ((mix * reverse + (1 - mix) * forward) * mask).sum() / mask.sum()
            loss.backward()
            entries.append(dict(temperature=temperature, mix=mix, loss=loss.item(), dHidden=x.grad.tolist(), dHead=w.grad.tolist()))
    return dict(
        hidden=hidden.tolist(), head=head.tolist(), teacherHidden=said.tolist(), teacherHead=words.tolist(), mask=mask.tolist(), entries=entries
    )


def adamw():
    start, gradients = torch.randn(8), [torch.randn(8) for _ in range(3)]
    parameter = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.AdamW([parameter], lr=3e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    after = []
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
        after.append(parameter.detach().tolist())
    return dict(start=start.tolist(), gradients=[g.tolist() for g in gradients], after=after)


def main():
    recorded = dict(
        trl=trl.__version__,
        temperature=TEMPERATURE,
        groupSize=GROUP,
        maxNewTokens=LIMIT,
        vocab=VOCAB,
        completions=COMPLETIONS,
        rewards=REWARDS,
        logits=LOGITS.tolist(),
        old=OLD.tolist(),
        reference=REFERENCE.tolist(),
        sampled=SAMPLED.tolist(),
        cases=[grpo(case) for case in cases()],
        advantages=group_advantages(),
        distillation=distillation(),
        adamw=adamw(),
    )
    (FIXTURES / "trl.json").write_text(json.dumps(recorded) + "\n")


main()
