# SPDX-License-Identifier: Apache-2.0
"""The configurations of one party's training, `TrainConfig`, and of its predictions, `PredictConfig`.

    party: bank                            party: telco
    peer: telco                            peer: bank
    role: guest                            role: host
    listen: 0.0.0.0:7500                   connect: bank.example:7500
    tls: {ca: ..., ...}                    tls: {ca: ..., ...}
    input: loans.parquet                   input: usage.parquet
    keys: [customer_id]                    keys: [customer_id]
    psi: {}                                psi: {}
    label: defaulted
    algorithm: gradient-boosting           algorithm: gradient-boosting
    parameters: {n_trees: 20}              parameters: {n_trees: 20}
    model: bank.model.json                 model: telco.model.json

The conventions are those of `crypsis psi run`: `crypsis.mpc.jobs.config`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from crypsis.mpc.data import CsvOptions
from crypsis.mpc.data.opening import expand, format_of
from crypsis.mpc.jobs.config import (
    CsvConfig,
    JobModel,
    OutputFileConfig,
    PartyConfig,
    load,
    parse,
    refuse_twice,
    schema_of,
)
from crypsis.mpc.learning.algorithms import Algorithm, check_parameters
from crypsis.mpc.learning.ciphers import CipherOptions, Scheme
from crypsis.mpc.learning.evaluation import Scaling
from crypsis.mpc.learning.job_scorecard import check_scorecard
from crypsis.mpc.learning.job_steps import check_steps, public_steps, step_names
from crypsis.mpc.psi.options import PsiOptions, Security, Setting

_Text = Annotated[str, Field(min_length=1)]
_Whole = Annotated[int, Field(ge=0, lt=1 << 63)]


class CipherConfig(JobModel):
    """Keys of the homomorphic encryption; the same at both parties but for `device` and `vartime`."""

    scheme: Scheme = Field(
        "okamoto-uchiyama", description="okamoto-uchiyama (several times faster) or paillier"
    )
    key_bits: int = Field(3072, ge=2048, le=4096, description="3072 has 128 bits of security, 2048 has 112")
    device: _Text = Field("cpu", description="where its arithmetic runs: cpu, or a GPU such as cuda:0")
    vartime: bool = Field(
        False, description="faster, with times that depend on own numbers: where nobody else runs code"
    )

    def options(self) -> CipherOptions:
        """As a session takes them."""
        return CipherOptions(
            scheme=self.scheme, key_bits=self.key_bits, device=self.device, vartime=self.vartime
        )


class PsiConfig(JobModel):
    """The intersection (VOLE-PSI) that lines the rows of both parties up; the same at both."""

    security: Security = "semi-honest"
    setting: Setting = Field("fast", description="for fast lines, or for those below 100 Mbit/s")


class EvaluationConfig(JobModel):
    """Rows that are held out of the training and evaluated after it; the same at both."""

    share: float = Field(
        0.2, ge=0, lt=1, description="of the rows held out; 0 evaluates on the rows trained on"
    )
    seed: _Whole = Field(0, description="public: which rows, by digests of their ids under it")


class ScorecardConfig(JobModel):
    """Where one's own part of the scorecard goes, and how log-odds become points: the latter the same at both."""

    path: _Text = Field(description="ends in .json or .csv")
    base_score: float = Field(600.0, description="points that stand for odds of base_odds to 1")
    base_odds: float = 50.0
    pdo: float = Field(20.0, description="points to double the odds")
    decimals: int = 0
    higher_score: Literal["less_likely", "more_likely"] = Field(
        "less_likely", description="what label 1 is where the score is higher"
    )

    @field_validator("path")
    @classmethod
    def _known_form(cls, value: str) -> str:
        if not value.lower().endswith((".json", ".csv")):
            raise ValueError("a scorecard is written as .json or .csv; give such a name")
        return value

    @model_validator(mode="after")
    def _possible(self) -> Self:
        self.scaling()
        return self

    def scaling(self) -> Scaling:
        """As the evaluation takes it. ValueError for numbers that will not do."""
        return Scaling(**self.model_dump(exclude={"path"}))


class LearningConfig(PartyConfig):
    """What a training and a prediction have in common."""

    role: Literal["guest", "host"] = Field(description="the guest has the labels")
    psi: PsiConfig | None = Field(
        None, description="intersect first; without it both inputs have the same ids in the same order"
    )
    cipher: CipherConfig = Field(default_factory=lambda: CipherConfig.model_validate({}))
    model: _Text = Field(description="file of one's own part of the model, JSON")

    @model_validator(mode="before")
    @classmethod
    def _one_host(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and (isinstance(raw.get("peer"), list) or {"peers", "hosts"} & set(raw)):
            raise ValueError(
                "peer: a job has one guest and one host; name that one (boosting with several hosts is for programs,"
                " with a Session of a channel each: docs/learning-boosting.md)"
            )
        return raw

    @model_validator(mode="before")
    @classmethod
    def _psi_forms(cls, raw: Any) -> Any:
        """`psi: true` and a `psi:` with nothing after it stand for all defaults."""
        if isinstance(raw, dict) and "psi" in raw and raw["psi"] in (None, True):
            return {**raw, "psi": {}}
        return raw

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if len(self.keys) != 1:
            raise ValueError("keys: give one column, which names the rows")
        if self.keys[0].type == "bytes":
            raise ValueError("keys: the type of ids is string, int or date")
        return self

    @property
    def id_column(self) -> str:
        """The column that names rows."""
        return self.keys[0].name

    def csv_options(self) -> CsvOptions | None:
        """As for other jobs, but columns are numbers where every value is one, unless the file says otherwise."""
        if self.input.path is None or (self.input.csv is None and not self._is_csv(self.input.path)):
            return None
        csv = self.input.csv or CsvConfig.model_validate({})
        if "infer_types" not in csv.model_fields_set:
            csv = csv.model_copy(update={"infer_types": True})
        inferring = self.model_copy(update={"input": self.input.model_copy(update={"csv": csv})})
        return super(LearningConfig, inferring).csv_options()

    def _is_csv(self, path: str | list[str]) -> bool:
        files = [part.path for part in expand(path, self.input.format)]
        return all(format_of(file, self.input.format) == "csv" for file in files)

    def psi_options(self) -> PsiOptions:
        """The intersection's own job: both learn it, in the same order."""
        psi = self.psi or PsiConfig.model_validate({})
        return PsiOptions(
            role="receiver" if self.role == "guest" else "sender",
            keys=self.key_specs(),
            protocol="vole",
            security=psi.security,
            setting=psi.setting,
            broadcast=True,
            align=True,
            hash=self.hash,
            null_policy=self.null_policy,
            threads=self.threads,
        )

    def public_input(self) -> dict[str, Any]:
        """What both parties must say the same of their inputs."""
        return {
            "key_types": [key.type for key in self.keys],
            "psi": None if self.psi is None else self.psi.model_dump(mode="json"),
            "hash": self.hash,
        }


class TrainConfig(LearningConfig):
    """One party's training: who, with whom, on which columns, and how."""

    schema_command: ClassVar[str] = "crypsis train --schema"
    path_fields: ClassVar[tuple[str, ...]] = (
        *PartyConfig.path_fields,
        "model",
        "html_report",
        "scorecard",
    )

    label: _Text | None = Field(None, description="the guest's column of labels; the host has none")
    features: list[_Text] | None = Field(
        None, description="own columns to train on; default: all but keys and label (none: [], at the guest)"
    )
    preprocess: list[dict[str, Any] | str] = Field(
        default_factory=list, description="steps before the training, in order; the same at both"
    )
    algorithm: Algorithm = Field(description="the same at both")
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="of the algorithm; those not given have its defaults; the same at both",
    )
    evaluation: EvaluationConfig = Field(default_factory=lambda: EvaluationConfig.model_validate({}))
    job: Annotated[str, Field(max_length=256)] = Field(
        "", description="public job name; both sides give the same"
    )
    html_report: _Text | Literal[False] | None = Field(
        None,
        description="at the guest: the evaluation for people; default <model>.html beside the model; false: none",
    )
    scorecard: ScorecardConfig | None = Field(
        None, description="logistic regression on the step woe as points; both parties give one, or neither"
    )
    work_dir: _Text | None = Field(
        None, description="where checkpoints are kept; default <model>.work beside the model"
    )
    overwrite: bool = Field(False, description="replace an existing model")

    @model_validator(mode="before")
    @classmethod
    def _scorecard_form(cls, raw: Any) -> Any:
        """`scorecard: card.json` stands for the long form."""
        if isinstance(raw, dict) and isinstance(raw.get("scorecard"), str):
            return {**raw, "scorecard": {"path": raw["scorecard"]}}
        return raw

    @field_validator("features")
    @classmethod
    def _distinct(cls, value: list[str] | None) -> list[str] | None:
        refuse_twice(value or [])
        return value

    @model_validator(mode="after")
    def _of_the_role(self) -> Self:
        if self.role == "guest" and self.label is None:
            raise ValueError("label is missing: the guest names the column of labels")
        if self.role == "host" and self.label is not None:
            raise ValueError("label is set, and a host has no labels; remove it")
        if self.role == "host" and self.html_report:
            raise ValueError("html_report is set, and the guest alone can evaluate; remove it")
        if self.features == [] and self.role == "host":
            raise ValueError("features is empty, and a host without features has no part in it; name some")
        for name in self.features or []:
            if name in (self.id_column, self.label):
                what = "the key" if name == self.id_column else "the label"
                raise ValueError(f"features: {name!r} is {what}; take it out")
        check_steps(self.preprocess)
        check_parameters(self.algorithm, self.role, self.parameters)
        if self.parameters.get("early_stopping_rounds"):
            raise ValueError(
                "parameters.early_stopping_rounds: a job has no rows to validate on and trains all trees; remove it"
            )
        if self.scorecard is not None:
            check_scorecard(self.algorithm, step_names(self.preprocess))
        return self

    @property
    def report_path(self) -> str:
        """Where the run report goes."""
        return self.report if self.report is not None else f"{self.model}.report.json"

    @property
    def html_path(self) -> str | None:
        """Where the guest's evaluation goes; None at a host, and where it is not wanted."""
        if self.role == "host" or self.html_report is False:
            return None
        return self.html_report or f"{self.model}.html"

    @property
    def work_path(self) -> str:
        """Where checkpoints are kept."""
        return self.work_dir if self.work_dir is not None else f"{self.model}.work"

    def public(self) -> dict[str, Any]:
        """What must be equal on both sides, in the words of the configuration file."""
        return {
            **self.public_input(),
            "job": self.job,
            "algorithm": self.algorithm,
            **{
                f"parameters.{name}": value
                for name, value in check_parameters(self.algorithm, self.role, self.parameters).items()
            },
            "preprocess": public_steps(self.preprocess),
            "evaluation": self.evaluation.model_dump(mode="json"),
            "scorecard": None
            if self.scorecard is None
            else self.scorecard.model_dump(mode="json", exclude={"path"}),
        }


class ScoresConfig(OutputFileConfig):
    """Where the scores go, one row an id."""

    score: _Text = Field("score", description="name of the column of scores")


class PredictConfig(LearningConfig):
    """One party's part in predictions with a model that both have trained."""

    schema_command: ClassVar[str] = "crypsis predict --schema"
    path_fields: ClassVar[tuple[str, ...]] = (*PartyConfig.path_fields, "model")

    share_result: bool = Field(False, description="the host gets the scores too; the same at both")
    output: ScoresConfig | None = Field(None, description="required for a party that gets the scores")

    @model_validator(mode="after")
    def _has_output(self) -> Self:
        gets = self.role == "guest" or self.share_result
        if gets and self.output is None:
            raise ValueError("output is missing: this party gets the scores; say where they go")
        if not gets and self.output is not None:
            raise ValueError("output is set, but a host without share_result gets no scores; remove it")
        return self

    @property
    def report_path(self) -> str | None:
        """Where the run report goes: `report`, or beside the output; None without either."""
        if self.report is not None:
            return self.report
        return f"{self.output.path}.report.json" if self.output is not None else None


Learning = TypeVar("Learning", TrainConfig, PredictConfig)


def load_learning(model: type[Learning], path: str | None, overrides: dict[str, Any]) -> Learning:
    """The job in `path` (None: none) with `overrides`. Raises ConfigError, one line a problem."""
    return load(model, path, overrides)


def parse_learning(model: type[Learning], raw: dict[str, Any], where: str | None = None) -> Learning:
    """Checks `raw`; `where` names its file in messages."""
    return parse(model, raw, where)


def learning_schema(model: type[Learning]) -> dict[str, Any]:
    """JSON schema of the configuration file."""
    return schema_of(model, f"Crypsis {'training' if model is TrainConfig else 'prediction'}")
