#include "profiler/prose_vocabulary.h"

namespace headscope::profiler {

const std::vector<std::string>& narrative_patterns() {
  static const std::vector<std::string> patterns{
      "{P} {did} before {event}.",
      "{P} {did}, and then {did} without a word.",
      "{when}, {P} {did}.",
      "{when}, {view}, and {sound}.",
      "{view}.",
      "{view}, though {weather}.",
      "{sound}, and {P} {reacted}.",
      "It was said in {town} that {rumour}.",
      "Nobody at {place} believed that {rumour}, least of all {Q}.",
      "{P} had always thought that {maxim}.",
      "{Q}, who was {qtrade} by trade, {did} while {P} {watched}.",
      "There was {thing} on {surface}, and beside it {thing}.",
      "{P} looked for {thing} in {container} and found only {thing}.",
      "{weather_cap}, and the road to {near} was {road}.",
      "{his_cap} {relative} had once {pastdid}, and {P} had not forgotten it.",
      "{P} felt {mood}, as one does when {event}.",
      "For {duration} neither {P} nor {Q} spoke of {matter}.",
      "{Q} wanted to know about {matter}, but {P} {reacted}.",
      "The {adjective} {noun} that {P} had brought from {near} stood on {surface}.",
      "{P} was {mood}, and {Q} knew it at once.",
      "By {season} there was talk of {matter} in every kitchen of {town}.",
      "{P} counted {plural}, {plural} and {plural}, and wrote the sum down with {noun} and "
      "patience.",
      "Since {event}, {P} had {pastdid} more often than {he} cared to say.",
      "{Q} carried {thing} across {near} as if it were {thing}.",
      "On {surface} lay {plural}, {adjective} and {adjective}.",
      "{weather_cap}; {P} {did} all the same.",
      "What {Q} remembered of {season} was {thing}, {plural}, and how {sound}.",
      "{P} and {Q} {bothdid} as far as {near}.",
      "They {bothdid} {while}, and {view}.",
      "{while_cap}, {Q} {did}.",
      "It took {P} {duration} to see that {maxim}.",
      "{P} gave {Q} {thing} and asked for nothing but {thing} in return.",
      "Of all the {plural} in {town}, those of {P} were the most {adjective}.",
      "{Q} laughed, because {rumour}.",
      "Perhaps {maxim}; at any rate {P} {did}.",
      "The {relative} of {Q} had come from {near} with {plural} and {thing}.",
      "When {event}, {view}.",
      "When {sound}, {Q} {reacted} and {P} {did}.",
      "{P} would rather have {pastdid} than talk about {matter}.",
      "In {container} {Q} kept {plural}, {thing}, and a letter about {matter}.",
      "{duration_cap} passed, and still {weather}.",
      "{P} could not say why {matter} left {him} so {mood}.",
      "A smell of {smell} came from {near}, and somewhere {sound}.",
      "{Q} had the {adjective} manner of {qtrade}, and {plural} in every pocket.",
      "If {event}, thought {P}, then {matter} would look different.",
      "{P} {did}; {Q} {did}; and {view}.",
      "Behind {place} grew {plant}, and the children of {town} hid {plural} there.",
      "{when}, the whole of {place} smelled of {smell}.",
      "Nothing in {his} years as {trade} had made {P} ready for {matter}.",
      "{Q} drew {noun} and {noun} on the back of an old bill and pushed it over to {P}.",
      "The dog of {Q} slept by {surface} until {sound}.",
      "{town} had changed since {event}: {view}, and {plural} were sold where once {plant} had "
      "grown.",
      "{P} owed {Q} for {plural}, and both pretended not to know it.",
      "All through {season} {P} had {pastdid}, and now {weather}.",
      "{Q} read aloud from {book} while {P} {watched}.",
      "In {book} it was written that {maxim}, and {Q} half believed it.",
      "{P} {did} with the care of {trade} and the temper of {animal}.",
      "{animal_cap} crossed the yard, stopped by {surface}, and went its way.",
  };
  return patterns;
}

const std::vector<std::string>& dialogue_patterns() {
  static const std::vector<std::string> patterns{
      "\"{remark},\" said {P}.",
      "\"{remark},\" {P} said, and {did}.",
      "\"{question}\" asked {Q}.",
      "\"{question}\" asked {Q}, who {watched}.",
      "\"You should know,\" said {Q}, \"that {maxim}.\"",
      "\"{remark},\" answered {Q}, \"and {remark_low}.\"",
      "\"Is it true,\" {P} asked, \"that {rumour}?\"",
      "\"{remark}. {remark},\" {Q} went on, as if {rumour}.",
      "\"Not while {weather},\" said {P}, and {reacted}.",
      "\"Leave {matter} to me,\" said {Q}. \"{remark}.\"",
      "\"I have {pastdid} for {duration},\" {P} said, \"and what did it bring me? {thing_cap}.\"",
      "{P} shrugged. \"{remark}.\"",
      "{Q} {reacted}. \"{question}\"",
      "\"My {relative} used to say that {maxim},\" said {Q}.",
      "\"Take {thing},\" said {P}, \"and go to {near} before {event}.\"",
      "\"We will speak of {matter} {when_low},\" {Q} promised.",
  };
  return patterns;
}

const std::vector<std::string>& opening_patterns() {
  static const std::vector<std::string> patterns{
      "{P}, who was {trade} in {town}, came to {place} {when_low}.",
      "{weather_cap} when {P} and {Q} met again at {place}.",
      "In {season} {P} took work at {place}, not far from {town}.",
      "{town} knew {P} as {trade} and {Q} as {qtrade}, and knew little else of them.",
      "At {place} the day began early; {P} {did} while {weather}.",
      "It had been {duration} since {Q} was last seen at {place}.",
      "Of the two people who ran {place}, {P} was the patient one and {Q} was not.",
      "The way from {town} to {place} leads past {near}, and {P} had walked it for {duration}.",
  };
  return patterns;
}

const std::vector<std::string>& womens_names() {
  static const std::vector<std::string> names{
      "Agnes",    "Beatrix", "Clara",     "Dorothea", "Edith",   "Frances",  "Greta",   "Harriet",
      "Ingrid",   "Johanna", "Katharina", "Leonora",  "Matilda", "Nell",     "Ottilie", "Paulina",
      "Rosamund", "Sabine",  "Theresa",   "Ursula",   "Vera",    "Winifred", "Helena",  "Marianne"};
  return names;
}

const std::vector<std::string>& mens_names() {
  static const std::vector<std::string> names{
      "Albrecht", "Bernard", "Casimir",   "Dominic",  "Emil",   "Ferdinand", "Gregor", "Hugo",
      "Isidor",   "Jasper",  "Konrad",    "Laurence", "Mathis", "Nathaniel", "Oswald", "Philip",
      "Quentin",  "Rupert",  "Sebastian", "Tobias",   "Ulrich", "Valentin",  "Walter", "Edmund"};
  return names;
}

const std::vector<std::string>& surnames() {
  static const std::vector<std::string> names{
      "Ashdown",    "Birkett",   "Cavendish", "Dunmore",   "Elderfield", "Fairweather",
      "Grimshaw",   "Hallam",    "Inchbald",  "Jessop",    "Kettering",  "Lindqvist",
      "Marchbanks", "Norwood",   "Oakeshott", "Penhallow", "Quill",      "Ravenscroft",
      "Sattler",    "Thornbury", "Underhill", "Vosper",    "Wetherby",   "Yarrow",
      "Zeller",     "Brandt",    "Holloway",  "Tremaine"};
  return names;
}

const std::vector<std::string>& trades() {
  static const std::vector<std::string> names{
      "a bookbinder",   "a ferryman",    "a glazier",   "a clockmaker",   "a schoolteacher",
      "a saddler",      "a piano tuner", "a beekeeper", "a surveyor",     "a weaver",
      "a stonemason",   "a notary",      "a baker",     "a cooper",       "a gardener",
      "a printer",      "a chemist",     "a shepherd",  "a lamplighter",  "a carpenter",
      "a postmistress", "a midwife",     "a potter",    "a thatcher",     "a roper",
      "a locksmith",    "a miller",      "a dyer",      "a cartographer", "a bell founder"};
  return names;
}

const std::vector<std::string>& scene_places() {
  static const std::vector<std::string> places{
      "the old mill",     "the ferry house",   "the upper farm",    "the printing works",
      "the railway inn",  "the tannery",       "the parish school", "the glass workshop",
      "the customs shed", "the walled garden", "the boatyard",      "the county archive",
      "the lime kiln",    "the market hall",   "the brick house",   "the weavers' row",
      "the toll bridge",  "the sheep station", "the apothecary's",  "the lower quarry",
      "the bell tower",   "the corn exchange", "the infirmary",     "the rope walk",
      "the vineyard",     "the signal box",    "the almshouse",     "the winter stables"};
  return places;
}

const std::vector<std::string>& town_names() {
  static const std::vector<std::string> names{
      "Aldermere",   "Brackenford", "Coldwater",  "Dunholm",    "Eastleigh",   "Fallow Green",
      "Gorsebridge", "Hexley",      "Ivybury",    "Kingsmarsh", "Little Wend", "Marrowby",
      "Netherfield", "Oxcombe",     "Pennyhurst", "Ringstead",  "Saltmarket",  "Thaxby",
      "Upper Stour", "Wexcombe",    "Yarrowdale", "Stonecross", "Millbrook",   "Harrowgate"};
  return names;
}

}  // namespace headscope::profiler
