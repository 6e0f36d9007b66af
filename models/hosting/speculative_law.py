"""Speculative sampling of a block of tokens, whose law is exactly the target's.

A draft proposes tokens d_1 ... d_g one after the other, d_j drawn from its own law q_j; the target
reads them all in one pass and so knows its laws p_1 ... p_{g+1}, each given the tokens before.
Token by token, d_j is accepted with probability min(1, p_j(d_j) / q_j(d_j)). The first that is not
is replaced by a draw from the residual (p_j - q_j)+ / sum of it; behind a whole block accepted the
target's own p_{g+1} gives one token more (Leviathan, Kalman and Matias 2023, arXiv:2211.17192;
Chen et al. 2023, arXiv:2302.01318).

Each token so written has law p_j given those before it, whatever q_j is, as long as q_j is fixed
before d_j is drawn: v comes from the draft with probability q_j(v) min(1, p_j(v) / q_j(v)), which
is min(p_j(v), q_j(v)), and from the residual with probability (p_j(v) - q_j(v))+, since the draft
is refused with probability sum of (p_j - q_j)+; the two add up to p_j(v). So q_j may be any
function of what was written before, here or elsewhere: a table that has learnt from other texts
changes how much is accepted, and not the law.

Whether d_j is accepted depends on nothing behind it. Tokens that are thrown away, since one before
them was refused or ended the step, therefore tell nothing of those that are kept.
"""

from __future__ import annotations

import torch


def acceptance(
    log_p: torch.Tensor, log_q: torch.Tensor, drafts: torch.Tensor, counts: torch.Tensor
) -> torch.Tensor:
    """Return the probability that each draft is accepted, those before it having been.

    Args:
        log_p: the target's normalised log-probabilities, (rows, g + 1, vocabulary).
        log_q: the draft's, (rows, g, vocabulary), of the laws that the drafts were drawn from.
        drafts: their ids, (rows, g).
        counts: how many drafts each row has, (rows,); what stands behind them is not read.

    Returns:
        Float64 (rows, g); 0 behind a row's drafts.

    Example:
        >>> p = torch.log(torch.tensor([[[0.2, 0.8], [0.5, 0.5]]]))
        >>> q = torch.log(torch.tensor([[[0.8, 0.2]]]))
        >>> round(acceptance(p, q, torch.tensor([[0]]), torch.tensor([1])).item(), 3)
        0.25
    """
    places = drafts[:, :, None]
    of_target = log_p[:, : drafts.shape[1]].gather(2, places).squeeze(2).double()
    of_draft = log_q.gather(2, places).squeeze(2).double()
    probability = (of_target - of_draft).exp().clamp(max=1.0)
    return torch.where(_inside(drafts, counts), probability, 0.0)


def following(
    log_p: torch.Tensor, log_q: torch.Tensor, counts: torch.Tensor, accepted: torch.Tensor
) -> torch.Tensor:
    """Return the law of the token behind the accepted drafts, each row of it normalised.

    It is the residual where a draft was refused, and the target's own where none was.

    Args:
        log_p: as in `acceptance`.
        log_q: as in `acceptance`.
        counts: how many drafts each row has.
        accepted: how many of them were accepted, (rows,), at most as many.

    Returns:
        Float64 (rows, vocabulary).

    Example:
        >>> p = torch.log(torch.tensor([[[0.2, 0.8], [0.5, 0.5]]]))
        >>> q = torch.log(torch.tensor([[[0.8, 0.2]]]))
        >>> one = torch.tensor([1])
        >>> following(p, q, one, 0 * one).tolist(), following(p, q, one, one).tolist()
        ([[0.0, 1.0]], [[0.5, 0.5]])
    """
    rows = torch.arange(len(accepted), device=accepted.device)
    p = log_p[rows, accepted].double().exp()
    p = p / p.sum(dim=-1, keepdim=True)
    if log_q.shape[1] == 0:
        return p
    refused = accepted < counts
    q = log_q[rows, accepted.clamp(max=log_q.shape[1] - 1)].double().exp()
    q = torch.where(refused[:, None], q / q.sum(dim=-1, keepdim=True), 0.0)
    left = (p - q).clamp(min=0.0)
    total = left.sum(dim=-1, keepdim=True)
    # p and q equal up to rounding: what rounding refuses is drawn from p
    return torch.where(total > 0, left / total, p)


def _inside(drafts: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    return torch.arange(drafts.shape[1], device=drafts.device) < counts[:, None]
