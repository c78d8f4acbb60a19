"""What the organiser sees and does."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from study_web import SYSTEMS, Page, Seat, make_items, make_study

from boresight.study import Study
from boresight.study.web.app import create_app


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path / "study.db", make_items(3))[0]


@pytest.fixture
def desk(study: Study) -> Seat:
    return Seat(create_app(study)).enter(study.renew_organiser(), "/organiser")


def ask(desk: Seat, path: str, **fields: str) -> str:
    response = desk.post(path, {"token": Page(desk.get("/organiser").text).fields["token"], **fields})
    return str(response.text)


def tables(html: str) -> list[list[str]]:
    """The cells of every row, as text."""
    rows = re.findall(r"<tr>(.*?)</tr>", re.sub("</?bdi>", "", html), re.DOTALL)
    cells = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows)
    return [[" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in row] for row in cells]


def rate_all(study: Study, name: str, preference: int) -> None:
    """Always for the same system."""
    seat = Seat(create_app(study)).enter(study.invite(name))
    while (page := Page(seat.get("/rate").text)).action:
        left = page.panes[0] == "ANSWER-OF-THE-FIRST"
        sides = {} if left else {"acceptable__0": "no", "acceptable__1": "yes"}
        seat.rate(page, preference if left else 6 - preference, seconds="0", **sides)


def test_an_invitation_is_shown_once_and_lets_one_rater_in(study: Study, desk: Seat) -> None:
    html = ask(desk, "/organiser/invite", name=" Ada ")
    found = re.search(r'value="http://127.0.0.1:8000/enter/([\w-]+)"', html)
    assert found and found[1] not in desk.get("/organiser").text
    ada = Seat(create_app(study)).enter(found[1])
    assert "Hello, <bdi>Ada</bdi>" in ada.get("/").text
    assert "There is a rater Ada already" in ask(desk, "/organiser/invite", name="Ada")
    assert ada.get("/").status_code == 200
    assert "/enter/" in ask(desk, "/organiser/invite", name="Ada", again="yes")
    assert ada.get("/").status_code == 401


def test_behind_a_proxy_links_begin_with_the_address_that_raters_use(study: Study) -> None:
    app = create_app(study, url="https://rate.example.org")
    cookie = "=".join(Seat(app).enter(study.renew_organiser(), "/organiser").cookie)
    desk = Seat(app)
    desk.client.headers["cookie"] = cookie  # the browser gave it to the proxy, which speaks HTTP to us
    assert 'value="https://rate.example.org/enter/' in ask(desk, "/organiser/invite", name="Ada")


def test_names_are_text_and_must_be_names(study: Study, desk: Seat) -> None:
    ask(desk, "/organiser/invite", name="<b>Ada</b>")
    assert "<b>Ada" not in desk.get("/organiser").text and "&lt;b&gt;Ada" in desk.get("/organiser").text
    for name in ("", "x" * 101, "a\u202eb"):
        assert 'role="alert"' in ask(desk, "/organiser/invite", name=name)
    assert len(study.raters()) == 1


def test_a_revoked_rater_is_out_and_what_they_said_stays(study: Study, desk: Seat) -> None:
    ada = Seat(create_app(study)).enter(study.invite("Ada"))
    ada.rate(ada.page())
    ask(desk, "/organiser/revoke", name="Ada")
    assert ada.get("/rate").status_code == 401 and len(study.ratings()) == 1
    assert tables(desk.get("/organiser").text)[1][-1] == "New link for Ada revoked"
    assert 'role="alert"' in ask(desk, "/organiser/revoke", name="Nobody")


def test_progress_is_told_by_rater_and_by_item(study: Study, desk: Seat) -> None:
    rate_all(study, "Ada", 1)
    grace = Seat(create_app(study)).enter(study.invite("Grace"))
    grace.rate(grace.page(), flag="invalid")
    grace.page()
    overview = desk.get("/organiser").text
    assert [
        " ".join(re.sub("<[^>]+>", " ", tile).split()) for tile in re.findall(r"<dd>(.*?)</dd>", overview)
    ] == ["4 of 6", "1 of 3", "1", "2"]
    _, ada_row, grace_row = tables(overview)
    assert ada_row[:4] == ["Ada", "3", "0", "0"] and grace_row[:4] == ["Grace", "1", "1", "1"]
    rows = tables(desk.get("/organiser/items").text)[1:]
    assert [row[1] for row in rows] == [f"secret-prompt-id-{number}" for number in range(3)]
    assert all(row[2] == ", ".join(SYSTEMS) for row in rows)
    assert sorted(row[3:6] for row in rows) == [["1", "0", "0"], ["1", "1", "0"], ["2", "0", "1"]]
    assert "Left out: 1, which are flagged or of gold items." in desk.get("/organiser/results").text


def test_items_come_a_hundred_at_a_time(tmp_path: Path) -> None:
    study, token = make_study(tmp_path / "many.db", make_items(201))
    desk = Seat(create_app(study)).enter(token, "/organiser")
    for page, rows in (("1", 100), ("3", 1), ("99", 1), ("-5", 100)):
        html = desk.get(f"/organiser/items?page={page}").text
        assert len(tables(html)) == rows + 1
    assert "Page 1 of 3" in html


def test_results_and_agreement_come_as_they_are(study: Study, desk: Seat) -> None:
    assert "There are no ratings yet." in desk.get("/organiser/results").text
    rate_all(study, "Ada", 1)
    rate_all(study, "Grace", 2)
    html = desk.get("/organiser/results").text
    assert "None is left out." in html
    rows = tables(html)
    assert [SYSTEMS[0], "100.0 % 43.9 to 100.0", "6"] in rows
    assert any(row[0].startswith("50.0 %") and row[1].startswith("50.0 %") for row in rows)
    (merged, apart) = [row for row in rows if row[0] == "Which answer is better?"]
    assert merged[1:3] == ["3", "3"] and merged[3].startswith("1.00") and apart[3].startswith("0.00")
    assert re.findall(r'<rect class="step-(\d)" x="([\d.]+)" width="([\d.]+)"', html)[:2] == [
        ("1", "0", "50.0"), ("2", "50.0", "50.0")
    ]  # fmt: skip


def test_results_of_single_answers_are_means(tmp_path: Path) -> None:
    study, token = make_study(tmp_path / "single.db", make_items(2, ["Answer"], ["Zorblax-7B"]), answers=1)
    seat = Seat(create_app(study)).enter(study.invite("Ada"))
    for score in ("4", "9"):
        page = seat.page()
        seat.post(page.action, {"token": page.fields["token"], "score.0": score})
    html = Seat(create_app(study)).enter(token, "/organiser").get("/organiser/results").text
    assert ["Zorblax-7B", "6.50 4.00 to 9.00", "2"] in tables(html)


def test_ratings_are_exported_as_files(study: Study, desk: Seat) -> None:
    rate_all(study, "Ada", 1)
    lines = desk.get("/organiser/ratings.jsonl")
    rows = [json.loads(line) for line in lines.text.splitlines()]
    assert [row["rater"] for row in rows] == ["Ada"] * 3 and rows[0]["models"] == list(SYSTEMS)
    assert lines.headers["content-disposition"] == 'attachment; filename="ratings.jsonl"'
    table = desk.get("/organiser/ratings.csv")
    assert len(list(csv.DictReader(io.StringIO(table.text)))) == 3
    assert table.headers["content-type"].startswith("text/csv")


def test_the_organiser_signs_out(desk: Seat) -> None:
    assert "signed out" in ask(desk, "/organiser/leave")
    assert desk.get("/organiser").status_code == 401
