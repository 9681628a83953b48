"""Everything in torch.optim that can train these models.

Defaults of momentum, Adam, Adagrad and RMSprop are those of the comparison that optsuite began as; the others are torch's.
"""

from functools import partial

from torch.optim import (
    ASGD,
    LBFGS,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
)

from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.space import LogUniform
from optsuite.optimizers.fused import from_torch, fused
from optsuite.optimizers.muon import muon

ADAM = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
SLOW = LogUniform(low=1e-5, high=1e-1)  # for steps whose size the rate sets
MIDDLE = LogUniform(low=1e-4, high=1e0)
FAST = LogUniform(low=1e-3, high=1e1)  # for steps that shrink with the gradient

SPECS = (
    OptimizerSpec(
        name="sgd",
        build=partial(fused, SGD),
        lr=FAST,
        lr_linear=True,
        default_lr=1e-3,
        fixed={"momentum": 0.0, "weight_decay": 0.0},
        source="Robbins and Monro 1951; default rate of torch.optim.SGD",
        limitations="ill-conditioned problems on a small budget",
    ),
    OptimizerSpec(
        name="momentum",
        build=partial(fused, SGD),
        lr=MIDDLE,
        lr_linear=True,
        default_lr=0.01,
        fixed={"momentum": 0.9, "weight_decay": 0.0},
        special_cases=("sgd",),
        source="Polyak 1964, in the form of Sutskever et al. 2013",
        limitations="parameters whose gradients differ by orders of magnitude, as in transformers",
    ),
    OptimizerSpec(
        name="adam",
        build=partial(fused, Adam),
        lr=SLOW,
        lr_linear=True,
        default_lr=0.001,
        fixed=ADAM,
        special_cases=("adagrad", "rmsprop"),
        source="Kingma and Ba 2015",
        limitations="weight decay, which it would rescale with the gradients: adamw",
    ),
    OptimizerSpec(
        name="adamw",
        build=partial(fused, AdamW),
        lr=SLOW,
        lr_linear=True,
        default_lr=0.001,
        fixed=ADAM | {"weight_decay": 0.01},
        special_cases=("adam", "adagrad", "rmsprop"),
        source="Loshchilov and Hutter 2019",
        limitations="problems without anything to regularize, where its decay is a bias",
    ),
    OptimizerSpec(
        name="adagrad",
        build=partial(fused, Adagrad),
        lr=MIDDLE,
        lr_linear=True,
        default_lr=0.01,
        fixed={"eps": 1e-10, "weight_decay": 0.0},
        source="Duchi, Hazan and Singer 2011; default rate of torch.optim.Adagrad",
        limitations="long training: its steps only ever shrink",
    ),
    OptimizerSpec(
        name="rmsprop",
        build=partial(from_torch, RMSprop),
        lr=SLOW,
        lr_linear=True,
        default_lr=0.01,
        fixed={"alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0},
        source="Tieleman and Hinton 2012; default rate of torch.optim.RMSprop",
        limitations="sparse gradients: its first steps are large, because its averages start at 0",
    ),
    OptimizerSpec(
        name="nesterov",
        build=partial(fused, SGD),
        lr=MIDDLE,
        lr_linear=True,
        default_lr=0.01,
        fixed={"momentum": 0.9, "nesterov": True, "weight_decay": 0.0},
        special_cases=("sgd",),
        source="Nesterov 1983, in the form of Sutskever et al. 2013; rate of momentum",
        limitations="parameters whose gradients differ by orders of magnitude, as in transformers",
    ),
    OptimizerSpec(
        name="nadam",
        build=partial(from_torch, NAdam),
        lr=SLOW,
        lr_linear=True,
        default_lr=0.002,
        fixed=ADAM | {"momentum_decay": 0.004},
        source="Dozat 2016; default rate of torch.optim.NAdam",
        limitations="weight decay, which it would rescale with the gradients",
    ),
    OptimizerSpec(
        name="radam",
        build=partial(from_torch, RAdam),
        lr=SLOW,
        lr_linear=True,
        default_lr=0.001,
        fixed=ADAM,
        source="Liu et al. 2020; default rate of torch.optim.RAdam",
        limitations="a schedule with a warm-up of its own: it has one built in",
    ),
    OptimizerSpec(
        name="adamax",
        build=partial(from_torch, Adamax),
        lr=SLOW,
        lr_linear=True,
        default_lr=0.002,
        fixed=ADAM,
        source="Kingma and Ba 2015, section 7.1; default rate of torch.optim.Adamax",
        limitations="gradients with rare outliers, which slow it down for long",
    ),
    OptimizerSpec(
        name="adadelta",
        build=partial(from_torch, Adadelta),
        lr=FAST,
        lr_linear=True,
        default_lr=1.0,
        fixed={"rho": 0.9, "eps": 1e-6, "weight_decay": 0.0},
        source="Zeiler 2012, where the rate is 1",
        limitations="short budgets: its steps start near the square root of eps",
    ),
    OptimizerSpec(
        name="asgd",
        build=partial(from_torch, ASGD),
        lr=FAST,
        default_lr=0.01,
        fixed={"lambd": 1e-4, "alpha": 0.75, "t0": 1e6, "weight_decay": 0.0},
        source="Polyak and Juditsky 1992; default rate of torch.optim.ASGD",
        limitations="its average, which torch keeps aside: measured at the last weights, it is SGD with a little decay",
    ),
    OptimizerSpec(
        name="rprop",
        build=partial(from_torch, Rprop),
        lr=SLOW,
        default_lr=0.01,
        fixed={"etas": (0.5, 1.2), "step_sizes": (1e-6, 50.0)},
        schedule=None,  # the rate is where its step sizes start, and not used again
        source="Riedmiller and Braun 1993; default rate of torch.optim.Rprop; without weight decay",
        limitations="minibatches, whose noise flips the signs it goes by: included as the method for full batches",
    ),
    OptimizerSpec(
        name="adafactor",
        build=partial(from_torch, Adafactor),
        lr=MIDDLE,
        default_lr=0.01,
        fixed={"beta2_decay": -0.8, "d": 1.0, "weight_decay": 0.0},
        source="Shazeer and Stern 2018; default rate of torch.optim.Adafactor",
        limitations="small models: it saves memory that they do not need",
    ),
    OptimizerSpec(
        name="muon",
        build=muon,
        lr=SLOW,
        default_lr=0.001,
        fixed={"momentum": 0.95, "nesterov": True, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0},
        source="Jordan et al. 2024, with the scale of Liu et al. 2025; rate of AdamW",
        limitations="models without hidden matrices: biases, gains and convolutions are left to AdamW",
    ),
    OptimizerSpec(
        name="lbfgs",
        build=partial(from_torch, LBFGS),
        lr=FAST,
        default_lr=1.0,
        closure=True,
        fixed={"max_iter": 1, "history_size": 10},  # one gradient a step, as all others have
        source="Liu and Nocedal 1989; default rate of torch.optim.LBFGS; without weight decay",
        limitations="minibatches, whose noise it takes for curvature: included as the method for full batches",
    ),
)
