# SPDX-License-Identifier: Apache-2.0
"""Online reinforcement learning with offline data beside it: SAC and DrQ in RLPD's form.

Why no kept library: Stable-Baselines3, CleanRL, skrl and TorchRL have SAC, but none has the whole
of RLPD (an ensemble of critics with LayerNorm whose target is the least of a random subset, no
entropy in the backup, half of every minibatch from offline data, many critic steps to one of the
actor), and none trains all seeds of an experiment as one batched computation, which is what makes
five seeds cheap on a CPU. What is left of a library's SAC after these changes is a page of losses.

One file per algorithm: `sac.py`, `drq.py`, `rlpd.py` (mixing and splitting of batches), `rnd.py`,
`shaping.py`. Everything has a leading axis of S seeds, which never touch each other.
"""
