from gateway.wire.families import FAMILIES, family_of


def test_no_two_families_claim_a_type():
    for family in FAMILIES:
        for type_ in family.held | family.ends:
            assert [row for row in FAMILIES if type_.startswith(row.prefixes)] == [family]
            assert family_of(type_) is family
