"""The text of --help, from the folders of conf/: nothing heavy is imported."""

from pathlib import Path

TEXT = """bertbench compares BERT-family encoders on a labelled data set, with TF-IDF beside them.

  python -m bertbench [OVERRIDES]      one run, and the TF-IDF baseline on the same data
  python -m bertbench -m [OVERRIDES]   a sweep: a,b,c tries each, in all combinations
  python -m bertbench COMMAND [...]    see below; COMMAND --help says more

Examples
  python -m bertbench -m model=bert,roberta
  python -m bertbench -m model=minilm,scratch mode=frozen task.labels_per_class=2,8 seed=0,1,2
  python -m bertbench model=bert weights=pretrain pretrain.tokens=5_000_000 name=longer

Commands
  card     add the scores of sheets to an encoder's model card
  data     what is in a task's data and what is wrong with it (data card)
  inspect  look at tokens (inspect pairs), at predictions (mask), at what pretraining reads (batch)
  pretrain make an encoder to keep: a folder with weights and model card
  report   write the comparison sheet of the runs kept in this folder
  status   what became of each job of the last sweep
  store    list encoders and other expensive things; store prune removes the unused
  sync     deliver to MLflow what it was not there to take

Config groups (GROUP=OPTION)
{groups}

Settings (KEY=VALUE)
  seed=0              of the transfer; pretrain.seed is the encoder's
  name=main           the sheet is results/<name>/sheet.md
  rerun=failed        which known runs are run again: never, failed, always
  runtime.device=auto auto, cpu, cuda
  --cfg job           print the whole config and stop; --hydra-help for Hydra's own flags

Runs are kept in mlflow.db and mlartifacts/ (`mlflow ui` shows them), encoders in .bertbench/."""


def text() -> str:
    """Return the help."""
    package = Path(__file__).resolve().parents[1]
    conf = package / "conf" if (package / "conf").is_dir() else package.parent / "conf"
    groups = sorted(p for p in conf.iterdir() if p.is_dir() and p.name != "hydra")
    lines = [
        f"  {g.name:11} {', '.join(sorted(p.stem for p in g.glob('*.yaml')))}" for g in groups
    ]
    return TEXT.format(groups="\n".join(lines))
