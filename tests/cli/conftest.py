def pytest_addoption(parser):
    parser.addoption("--pit", default="build/release/pit", help="the program under test")
