"""Countries: what the survey offers, and where the United Nations' M49 standard puts them.

Codes are ISO 3166-1 alpha-3. People choose by the common name (Taiwan, South Korea); released is
pycountry's name, as PRISM did.
"""

import gettext
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any

import pycountry
from django.utils.translation import get_language

REGIONS = {
    "Africa": {
        "Northern Africa": "DZA EGY ESH LBY MAR SDN TUN",
        "Sub-Saharan Africa": (
            "AGO ATF BDI BEN BFA BWA CAF CIV CMR COD COG COM CPV DJI ERI ETH GAB GHA GIN GMB GNB "
            "GNQ IOT KEN LBR LSO MDG MLI MOZ MRT MUS MWI MYT NAM NER NGA REU RWA SEN SHN SLE SOM "
            "SSD STP SWZ SYC TCD TGO TZA UGA ZAF ZMB ZWE"
        ),
    },
    "Americas": {
        "Latin America and the Caribbean": (
            "ABW AIA ARG ATG BES BHS BLM BLZ BOL BRA BRB BVT CHL COL CRI CUB CUW CYM DMA DOM ECU "
            "FLK GLP GRD GTM GUF GUY HND HTI JAM KNA LCA MAF MEX MSR MTQ NIC PAN PER PRI PRY SGS "
            "SLV SUR SXM TCA TTO URY VCT VEN VGB VIR"
        ),
        "Northern America": "BMU CAN GRL SPM USA",
    },
    "Asia": {
        "Central Asia": "KAZ KGZ TJK TKM UZB",
        # M49 leaves Taiwan out; this is where its neighbours are.
        "Eastern Asia": "CHN HKG JPN KOR MAC MNG PRK TWN",
        "South-eastern Asia": "BRN IDN KHM LAO MMR MYS PHL SGP THA TLS VNM",
        "Southern Asia": "AFG BGD BTN IND IRN LKA MDV NPL PAK",
        "Western Asia": "ARE ARM AZE BHR CYP GEO IRQ ISR JOR KWT LBN OMN PSE QAT SAU SYR TUR YEM",
    },
    "Europe": {
        "Eastern Europe": "BGR BLR CZE HUN MDA POL ROU RUS SVK UKR",
        "Northern Europe": "ALA DNK EST FIN FRO GBR GGY IMN IRL ISL JEY LTU LVA NOR SJM SWE",
        "Southern Europe": "ALB AND BIH ESP GIB GRC HRV ITA MKD MLT MNE PRT SMR SRB SVN VAT",
        "Western Europe": "AUT BEL CHE DEU FRA LIE LUX MCO NLD",
    },
    "Oceania": {
        "Australia and New Zealand": "AUS CCK CXR HMD NFK NZL",
        "Melanesia": "FJI NCL PNG SLB VUT",
        "Micronesia": "FSM GUM KIR MHL MNP NRU PLW UMI",
        "Polynesia": "ASM COK NIU PCN PYF TKL TON TUV WLF WSM",
    },
}
"""M49's regions, their sub-regions, and the countries of each. Antarctica is in none."""

SPECIAL_COUNTRIES = {"USA": "US", "GBR": "UK"}
SPECIAL_SUBREGIONS = {
    "Latin America and the Caribbean": "Latin America and the Caribbean",
    "Northern America": "Northern America",
    "Western Asia": "Middle East",
    "Australia and New Zealand": "Australia and New Zealand",
}


@dataclass(frozen=True)
class Place:
    """A country as it is released: pycountry's name, and M49's region and sub-region."""

    name: str
    iso3: str
    region: str
    subregion: str


def choices() -> list[tuple[str, str]]:
    """(alpha-3 code, common name in the language spoken) of every country.

    In the order of names without accents.
    """
    return list(_choices(get_language() or "en"))


def english_names() -> dict[str, str]:
    """Code -> common name, whatever language is spoken."""
    return dict(_choices("en"))


def place(iso3: str) -> Place:
    """The country of one of the codes in `choices`. Raises KeyError for any other."""
    return _places()[iso3]


def special_region(iso3: str) -> str:
    """PRISM's own regions: UK, US and four sub-regions stand apart.

    Codebook: location_special_region, of the country of birth. Raises KeyError as `place` does.
    """
    home = place(iso3)
    if iso3 in SPECIAL_COUNTRIES:
        return SPECIAL_COUNTRIES[iso3]
    return SPECIAL_SUBREGIONS.get(home.subregion, home.region)


@cache
def special_regions() -> tuple[str, ...]:
    """All values of `special_region`."""
    return tuple(sorted({special_region(iso3) for iso3 in _places()}))


@cache
def _places() -> dict[str, Place]:
    names = {country.alpha_3: country.name for country in pycountry.countries}
    return {
        iso3: Place(names[iso3], iso3, region, subregion)
        for region, subregions in REGIONS.items()
        for subregion, codes in subregions.items()
        for iso3 in codes.split()
        if iso3 in names
    }


@cache
def _choices(language: str) -> tuple[tuple[str, str], ...]:
    catalogue = gettext.translation(
        "iso3166-1", pycountry.LOCALES_DIR, [CATALOGUES.get(language, language)], fallback=True
    )
    catalogue.add_fallback(Untranslated())
    names = [
        (country.alpha_3, _name(country, catalogue))
        for country in pycountry.countries
        if country.alpha_3 in _places()
    ]
    return tuple(sorted(names, key=lambda choice: _without_accents(choice[1])))


CATALOGUES = {"zh-hans": "zh_CN"}
"""Languages that pycountry calls otherwise."""


class Untranslated(gettext.NullTranslations):
    def gettext(self, message: str) -> str:
        return ""


def _name(country: Any, catalogue: gettext.NullTranslations) -> str:
    """The common name, or else the official one, in the catalogue's language; else in English."""
    common: str = getattr(country, "common_name", country.name)
    return catalogue.gettext(common) or catalogue.gettext(country.name) or common


def _without_accents(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
