"""Countries are offered by their common name and released with the UN's regions."""

import pycountry
import pytest

from surveys.places import REGIONS, Place, choices, place, special_region


def test_it_works() -> None:
    assert place("MEX") == Place("Mexico", "MEX", "Americas", "Latin America and the Caribbean")


def test_every_country_but_antarctica_is_offered_once() -> None:
    offered = [iso3 for iso3, _name in choices()]
    known = {country.alpha_3 for country in pycountry.countries}
    assert sorted(offered) == sorted(known - {"ATA"})


def test_every_choice_has_a_region() -> None:
    for iso3, _name in choices():
        home = place(iso3)
        assert iso3 in REGIONS[home.region][home.subregion].split()


def test_a_country_stands_in_one_subregion() -> None:
    codes = " ".join(code for parts in REGIONS.values() for code in parts.values()).split()
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("iso3", "region", "subregion"),
    [
        ("KAZ", "Asia", "Central Asia"),
        ("CYP", "Asia", "Western Asia"),
        ("TUR", "Asia", "Western Asia"),
        ("IRN", "Asia", "Southern Asia"),
        ("TWN", "Asia", "Eastern Asia"),
        ("TLS", "Asia", "South-eastern Asia"),
        ("SDN", "Africa", "Northern Africa"),
        ("SSD", "Africa", "Sub-Saharan Africa"),
        ("GRL", "Americas", "Northern America"),
        ("GUY", "Americas", "Latin America and the Caribbean"),
        ("RUS", "Europe", "Eastern Europe"),
        ("EST", "Europe", "Northern Europe"),
        ("SVN", "Europe", "Southern Europe"),
        ("CHE", "Europe", "Western Europe"),
        ("NZL", "Oceania", "Australia and New Zealand"),
        ("FJI", "Oceania", "Melanesia"),
        ("GUM", "Oceania", "Micronesia"),
        ("TON", "Oceania", "Polynesia"),
    ],
)
def test_regions_are_m49s(iso3: str, region: str, subregion: str) -> None:
    assert (place(iso3).region, place(iso3).subregion) == (region, subregion)


@pytest.mark.parametrize(
    ("iso3", "shown", "released"),
    [
        ("TWN", "Taiwan", "Taiwan, Province of China"),
        ("KOR", "South Korea", "Korea, Republic of"),
        ("TZA", "Tanzania", "Tanzania, United Republic of"),
        ("FRA", "France", "France"),
    ],
)
def test_the_common_name_is_shown_and_the_full_one_released(
    iso3: str, shown: str, released: str
) -> None:
    assert dict(choices())[iso3] == shown
    assert place(iso3).name == released


def test_accents_do_not_send_a_country_to_the_end() -> None:
    names = [name for _iso3, name in choices()]
    assert names[:3] == ["Afghanistan", "Åland Islands", "Albania"]
    # As in any alphabet: "Cote d'Ivoire" comes after "Costa Rica".
    assert names.index("Costa Rica") + 1 == names.index("Côte d'Ivoire")


def test_the_list_is_everybodys_own() -> None:
    choices().clear()
    assert choices()


@pytest.mark.parametrize(
    ("iso3", "region"),
    [
        ("USA", "US"),
        ("GBR", "UK"),
        ("IRL", "Europe"),
        ("MEX", "Latin America and the Caribbean"),
        ("PRI", "Latin America and the Caribbean"),
        ("CAN", "Northern America"),
        ("ISR", "Middle East"),
        ("IRN", "Asia"),
        ("EGY", "Africa"),
        ("AUS", "Australia and New Zealand"),
        ("TON", "Oceania"),
    ],
)
def test_special_regions_are_prisms(iso3: str, region: str) -> None:
    assert special_region(iso3) == region


@pytest.mark.parametrize("iso3", ["ATA", "XXX", "us", "prefer_not_to_say"])
def test_a_code_that_is_not_offered_has_no_place(iso3: str) -> None:
    with pytest.raises(KeyError):
        place(iso3)
    with pytest.raises(KeyError):
        special_region(iso3)
