/* stop_words.c - the words that say nothing of a topic, in two languages.
 *
 * English: the 318 words of scikit-learn's list, so that keywords compare with its
 * TfidfVectorizer(stop_words="english"). Russian: pronouns, particles,
 * prepositions, conjunctions and auxiliary verbs in their common forms, yo and ye.
 */
#include "text/stop_words.h"

static const char english[] =
    "a about above across after afterwards again against all almost alone along already also "
    "although always am among amongst amoungst amount an and another any anyhow anyone "
    "anything anyway anywhere are around as at back be became because become becomes becoming "
    "been before beforehand behind being below beside besides between beyond bill both bottom "
    "but by call can cannot cant co con could couldnt cry de describe detail do done down due "
    "during each eg eight either eleven else elsewhere empty enough etc even ever every "
    "everyone everything everywhere except few fifteen fifty fill find fire first five for "
    "former formerly forty found four from front full further get give go had has hasnt have "
    "he hence her here hereafter hereby herein hereupon hers herself him himself his how "
    "however hundred i ie if in inc indeed interest into is it its itself keep last latter "
    "latterly least less ltd made many may me meanwhile might mill mine more moreover most "
    "mostly move much must my myself name namely neither never nevertheless next nine no "
    "nobody none noone nor not nothing now nowhere of off often on once one only onto or "
    "other others otherwise our ours ourselves out over own part per perhaps please put "
    "rather re same see seem seemed seeming seems serious several she should show side since "
    "sincere six sixty so some somehow someone something sometime sometimes somewhere still "
    "such system take ten than that the their them themselves then thence there thereafter "
    "thereby therefore therein thereupon these they thick thin third this those though three "
    "through throughout thru thus to together too top toward towards twelve twenty two un "
    "under until up upon us very via was we well were what whatever when whence whenever "
    "where whereafter whereas whereby wherein whereupon wherever whether which while whither "
    "who whoever whole whom whose why will with within without would yet you your yours "
    "yourself yourselves ";

static const char russian[] = "а без более больше будем будет будете будешь будто буду "
                              "будут бы был была были было быть в вам вами вас ваш ваша "
                              "ваше вашего вашей ваши ваших вдоль вдруг ведь весь вместо "
                              "вне во вокруг вообще вот впрочем время все всегда всего всей "
                              "всем всеми всему всех всею всю вся всякая всякий всякое всё "
                              "вы где говорил говорит да давно даже дать для до довольно "
                              "долго должен должна должно должны другая другие другим "
                              "других другого другое другой его едва ее ей ему если есть "
                              "еще ещё ею её же за затем зато зачем здесь и из изо или им "
                              "именно иметь ими иногда их к каждая каждого каждое каждый "
                              "как какая какие каким каких какого какое какой кем ко когда "
                              "кого ком кому конечно которая которого которое которой "
                              "котором которому которую которые который которым которыми "
                              "которых кроме кто куда ли либо лишь лучше между менее меньше "
                              "меня мне много мной мною мог могла могли могло могу могут "
                              "моего моей мое может можно мои моих мой мою моя моё мы на над "
                              "надо наконец нам нами нас наш наша наше нашего нашей наши "
                              "наших не него нее ней некоторые некоторых нельзя нему "
                              "несколько нет неё ни нибудь никак никогда никто ним ними них "
                              "ничего но ну нужна нужно нужны о об оба один одна однако "
                              "одни одно одного одной около он она они оно опять от отчего "
                              "очень перед по под подо пока после потом потому почему почти "
                              "при про просто против пусть раз разве с сам сама сами самих "
                              "само самого самой самый самым свое своего своей своем свои "
                              "своими своих свой свою своя своё себе себя сегодня сейчас "
                              "сказал сказала сказать сколько скоро слишком снова со собой "
                              "собою совсем среди стал стала стали стать столько так такая "
                              "также такие таких такого такое такой таком там твои твой "
                              "твоя твое твоё те тебе тебя тем теми тех то тобой тогда того тоже "
                              "той только том тому тот тою три ту тут ты у уж уже хоть хотя "
                              "чего чей чем через что чтоб чтобы чуть чье чья чьё эта эти "
                              "этим этими этих это этого этой этом этому этот эту является "
                              "являются ";

const char *gm_stop_list(gm_stop_words language)
{
    switch (language) {
    case GM_STOP_ENGLISH: return english;
    case GM_STOP_RUSSIAN: return russian;
    default: return "";
    }
}
