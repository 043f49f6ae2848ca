"""Answer metrics against their definitions in a few lines of Python each, on random answers.

  metrics_parity.py GRADE_ANSWERS

ROUGE-L and the edit similarity are compared with the packages `rouge` and `rapidfuzz` too, where
they are installed.
"""
import collections
import json
import random
import re
import string
import subprocess
import sys

try:
    from rouge import Rouge
except ImportError:
    Rouge = None
try:
    from rapidfuzz import fuzz
except ImportError:
    fuzz = None


def words(text):
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def f1(answer, response):
    a, r = collections.Counter(words(answer)), collections.Counter(words(response))
    same = sum((a & r).values())
    return 2 * same / (sum(a.values()) + sum(r.values())) if same else 0.0


def lcs(a, b):
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a)):
        for j in range(len(b)):
            table[i + 1][j + 1] = (table[i][j] + 1 if a[i] == b[j]
                                   else max(table[i][j + 1], table[i + 1][j]))
    return table


def rouge_l(answer, response):
    a, r = ([" ".join(s.split()).split(" ") for s in t.split(".") if s] for t in (answer, response))
    if not a or not r:
        return 0.0
    common = set()
    for x in a:
        for y in r:
            table, i, j = lcs(x, y), len(x), len(y)
            while i and j:
                if x[i - 1] == y[j - 1]:
                    common.add(x[i - 1])
                    i, j = i - 1, j - 1
                elif table[i - 1][j] > table[i][j - 1]:
                    i -= 1
                else:
                    j -= 1
    recall, precision = (len(common) / len({w for s in side for w in s}) for side in (a, r))
    return 2 * precision * recall / (precision + recall + 1e-8)


def edit_similarity(answer, response):
    lines = response.lstrip("\n").split("\n")
    line = next((l for l in lines if not any(m in l for m in ("`", "#", "//"))), "")
    both = len(answer) + len(line)
    return round(100 * 2 * lcs(answer, line)[-1][-1] / both) / 100 if both else 1.0


def classification(answer, response, classes):
    named = [c for c in classes if c in response]
    for c in named:  # as it stands there: the list changes under the loop
        if c in answer and c != answer:
            named.remove(c)
    return 1 / len(named) if answer in named else 0.0


def share(wanted, response):
    numbers = re.findall(r"\d+", response)
    return numbers.count(wanted) / len(numbers) if numbers else 0.0


def expected(record):
    response, classes = record["response"], record["classes"]
    if record["first_line"]:
        response = response.lstrip("\n").split("\n")[0]
    if record["metric"] == "contains-all":
        return sum(a.lower() in response.lower() for a in record["answers"]) / len(record["answers"])
    one = {"exact-match": lambda a: float(words(a) == words(response)),
           "f1": lambda a: f1(a, response),
           "rouge-l": lambda a: rouge_l(a, response),
           "edit-similarity": lambda a: edit_similarity(a, response),
           "classification": lambda a: classification(a, response, classes),
           "count": lambda a: share(a, response),
           "retrieval": lambda a: share(re.findall(r"(?:Paragraph |段落)(\d+)", a)[0], response)}
    return max(one[record["metric"]](a) for a in record["answers"])


def by_package(record):
    """The same from a package, where there is one."""
    if record["metric"] == "rouge-l" and Rouge is not None:
        def score(answer):
            try:
                return Rouge().get_scores([record["response"]], [answer], avg=True)["rouge-l"]["f"]
            except Exception:  # it raises where a side has no sentence
                return 0.0
        return max(score(a) for a in record["answers"])
    if record["metric"] == "edit-similarity" and fuzz is not None:
        if "\n" not in record["response"] and not any(m in record["response"] for m in "`#/"):
            return max(fuzz.ratio(record["response"], a) / 100 for a in record["answers"])
    return None


def records(seed):
    draw = random.Random(seed)
    pieces = ["the", "a", "An", "cat", "Cat", "dogs", "re.", "x", "x.", "été", "das", "12", "7", "«the»",
              "it's", "—", "#", "`", "//", "...", ". .", "if(x)", "\n", "\n\n", "Paragraph", "City",
              "Other", "Other City", "  ", "\u00a0", "今天", "_the_"]

    def text(most):
        return " ".join(draw.choice(pieces) for _ in range(draw.randrange(most)))

    classes = ["City", "Other City", "cat", "Cat", "a", "dogs"]
    for _ in range(400):
        for metric in ("exact-match", "f1", "rouge-l", "edit-similarity", "contains-all",
                       "classification", "count", "retrieval"):
            answers = [text(12) or "x" for _ in range(draw.randrange(1, 4))]
            if metric == "contains-all":
                answers = [draw.choice(["cat", "x.", "été", "12"]) for _ in answers]
            if metric == "classification":
                answers = [draw.choice(classes)]
            if metric == "count":
                answers = [draw.choice(["12", "7", "3"])]
            if metric == "retrieval":
                answers = [draw.choice(["Paragraph 7", "Paragraph 12", "段落7"])]
            response = text(20)
            if metric == "exact-match" and draw.random() < 0.3:
                response = "The " + draw.choice(answers).upper() + "!"
            yield {"metric": metric, "answers": answers, "response": response, "classes": classes,
                   "first_line": draw.random() < 0.3}


def main():
    seed = 20
    cases = list(records(seed))
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run([sys.argv[1]], input=lines, capture_output=True, text=True, check=True)
    found = [float(line) for line in done.stdout.split()]
    assert len(found) == len(cases), (len(found), len(cases))
    packages, positive = 0, collections.Counter()
    for case, score in zip(cases, found):
        want = expected(case)
        assert abs(score - want) < 1e-9, (seed, case, score, want)
        positive[case["metric"]] += want > 0
        other = None if case["first_line"] else by_package(case)
        if other is not None:
            packages += 1
            # fuzzywuzzy rounds what rapidfuzz returns to whole percents.
            room = 0.005 if case["metric"] == "edit-similarity" else 0.0
            assert abs(score - other) < room + 1e-9, (seed, case, score, other)
    assert all(positive[case["metric"]] >= 10 for case in cases), positive
    print(f"{len(cases)} answers graded alike, {packages} of them by packages too; "
          f"above 0: {dict(positive)}")


main()
